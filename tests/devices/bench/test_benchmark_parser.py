import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.devices.agent_result import Delegate
from edgekit.devices.bench.benchmark_output import ReportedLatency
from edgekit.devices.bench.benchmark_parser import parse
from edgekit.errors import DeviceError, Fault
from tests.devices.bench import benchmark_logs as logs
from tests.mutations import damaged_text, fuzz, refusals


def test_the_timed_runs_are_not_the_warm_up() -> None:
    output = parse(logs.CLASSIC_GPU_2020, "phone")
    assert output.tool == "classic"
    assert output.init == 870557
    assert output.first == 130565
    assert output.warmup is not None
    assert output.warmup.count == 4
    assert output.latency == ReportedLatency(
        count=50, mean=119375, min=113737, max=124776, std=1948, first=119212
    )
    assert output.delegate("GPU").applied == "GPU"


def test_lines_from_logcat() -> None:
    output = parse(logs.LOGCAT_PARTIAL, "phone")
    assert (output.latency.count, output.latency.mean) == (75, 12167.6)
    assert output.applied == ["NNAPI"]


def test_percentiles_shares_and_memory() -> None:
    output = parse(logs.CLASSIC_PARTLY_GPU, "phone")
    assert (output.latency.p5, output.latency.median, output.latency.p95) == (
        299213,
        305582,
        313707,
    )
    assert output.delegate("GPU") == Delegate(
        asked="GPU", applied="GPU", nodes_delegated=54, nodes_total=559
    )
    assert output.memory.overall == round(176.777 * 2**20)
    assert output.memory.peak == round(193.2383 * 2**20)
    assert output.warmup is not None
    assert output.warmup.median == output.warmup.mean == 332961


def test_a_delegate_that_executes_nothing_is_the_cpu() -> None:
    output = parse(logs.CLASSIC_FELL_BACK, "phone")
    assert output.delegate("GPU") == Delegate(asked="GPU", applied="CPU")
    assert output.delegate("CPU").nodes_delegated == 510


def test_a_delegate_without_a_word_of_it_is_the_cpu() -> None:
    words = logs.CLASSIC_2019.replace("STARTING!", "Unconsumed cmdline flags: --use_gpu=true")
    output = parse(words, "phone")
    assert output.delegate("GPU").applied == "CPU"
    assert output.unknown_flags == "--use_gpu=true"
    assert (output.init, output.latency.mean, output.first) == (9933, 66767.6, 127425)


def test_milliseconds_of_the_litert_tool() -> None:
    output = parse(logs.LITERT_GPU, "phone")
    assert output.tool == "litert"
    assert output.init == pytest.approx(23_744_730)
    assert output.latency.count == 10
    assert output.latency.mean == pytest.approx(7_430_200)
    assert output.latency.std == pytest.approx(9920)
    assert output.memory.init == round(6391.74 * 2**20)
    assert output.memory.peak is None
    # Nothing was delegated as far as it tells.
    assert output.delegate("GPU").applied == "CPU"


def test_the_litert_tool_with_single_statistics() -> None:
    words = (
        "INFO: Replacing 58 out of 58 node(s) with delegate (LITERT_CL) node, yielding 1 partitions"
        "\nINFO: count=1 curr=7441040 p5=7441040 median=7441040 p95=7441040\n"
        "INFO: count=10 first=7416401 curr=7430000 min=7416401 max=7448860 avg=7.4302e+06 "
        "std=9920 p5=7416401 median=7431000 p95=7448860\n" + logs.LITERT_GPU
    )
    output = parse(words, "phone")
    assert output.latency.median == 7431000
    assert output.delegate("GPU") == Delegate(
        asked="GPU", applied="GPU", nodes_delegated=58, nodes_total=58
    )


def test_equal_samples_print_no_mean() -> None:
    words = "count=0\ncount=3 curr=7(all same)\nInference timings in us: Init: 5, First inference: "
    output = parse(f"{words}0, Warmup (avg): nan, Inference (avg): 7", "phone")
    assert output.warmup is None
    assert output.latency == ReportedLatency(
        count=3, mean=7, min=7, max=7, std=0, first=7, p5=7, median=7, p95=7
    )


def test_the_statistics_of_an_operator_profile_are_not_the_runs() -> None:
    profile = (
        "Timings (microseconds): count=51 first=900 curr=900 min=900 max=901 avg=900.5 std=1\n"
        "Memory (bytes): count=0\n"
    )
    output = parse(logs.CLASSIC_GPU_2020 + profile, "phone")
    assert output.latency.mean == 119375


def test_two_runs_in_one_output_are_refused() -> None:
    text = logs.CLASSIC_GPU_2020 + "count=50 first=1 curr=2 min=1 max=3 avg=2 std=1\n"
    with pytest.raises(DeviceError, match="contradicts itself") as caught:
        parse(text, "phone")
    assert caught.value.fault is Fault.WRONG_RESULT


@given(st.sampled_from([getattr(logs, name) for name in dir(logs) if name.isupper()]), st.data())
def test_an_output_cut_anywhere_is_refused_or_whole(text: str, data: st.DataObject) -> None:
    end = text.index("Inference (avg)") if "(avg)" in text else text.index("no stats")
    cut = data.draw(st.integers(0, end))
    with pytest.raises(DeviceError, match="ended before its results") as caught:
        parse(text[:cut], "phone")
    assert caught.value.fault is Fault.CRASHED


PREFIXES = st.sampled_from(
    ["", "INFO: ", "I/tflite: ", "I tflite  : ", "INFO: [benchmark_model.cc:210] "]
)


@given(
    st.lists(st.integers(1, 50_000_000), min_size=1, max_size=40),
    st.lists(st.integers(1, 50_000_000), max_size=5),
    PREFIXES,
    st.booleans(),
)
def test_what_the_tool_prints_is_read_back(
    samples: list[int], warmup: list[int], prefix: str, percentiles: bool
) -> None:
    mean = sum(samples) / len(samples)
    text = "\n".join(
        prefix + line
        for line in (
            statistics(warmup, percentiles),
            "",
            statistics(samples, percentiles),
            f"Inference timings in us: Init: 12, First inference: 3, Warmup (avg): 4, "
            f"Inference (avg): {mean:g}",
        )
    )
    output = parse(text, "phone")
    latency = output.latency
    assert latency.count == len(samples)
    assert latency.mean == pytest.approx(mean, rel=1e-5)
    assert (latency.min, latency.max, latency.first) == (min(samples), max(samples), samples[0])
    told = percentiles or len(set(samples)) == 1
    assert (latency.median is not None) == told
    assert (output.warmup.count if output.warmup else 0) == len(warmup)


def statistics(samples: list[int], percentiles: bool) -> str:
    """As tsl/util/stats_calculator.h prints them: six significant digits where they are floats."""
    if not samples:
        return "count=0"
    ordered = sorted(samples)
    mean = sum(samples) / len(samples)
    std = (sum((s - mean) ** 2 for s in samples) / len(samples)) ** 0.5
    rest = f" p5={ordered[0]} median={ordered[len(ordered) // 2]} p95={ordered[-1]}"
    if ordered[0] == ordered[-1]:
        same = f"count={len(samples)} curr={samples[-1]}"
        return same + (rest if percentiles else "(all same)" * (len(samples) > 1))
    return (
        f"count={len(samples)} first={samples[0]} curr={samples[-1]} min={ordered[0]} "
        f"max={ordered[-1]} avg={mean:g} std={int(std)}" + rest * percentiles
    )


LOGS = [getattr(logs, name) for name in dir(logs) if name.isupper()]


@fuzz
@given(st.sampled_from(LOGS).flatmap(damaged_text))
def test_any_damage_of_what_the_tool_prints(text: str) -> None:
    with refusals():
        output = parse(text, "phone")
        assert output.latency.count >= 1
        for engine in ("CPU", "GPU", "NPU"):
            output.delegate(engine)


@pytest.mark.parametrize("word", ["p99=9", "avg_us=7", "energy=3e2", "n=1", "mean=5"])
@pytest.mark.parametrize("text", LOGS[:3])
def test_a_new_word_in_a_line_of_statistics_is_left_out(word: str, text: str) -> None:
    lines = [f"{line} {word}" if "count=" in line else line for line in text.splitlines()]
    assert parse("\n".join(lines), "phone") == parse(text, "phone")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("count=50", "count=50000000000", "count: Input should be less"),
        ("min=113737", "min=-113737", "min: Input should be greater"),
        ("max=124776", "max=1247", "its runs took 113737 to 1247 us, and mean is 119375 us"),
        ("std=1948", "std=1e999", "std: Input should be a finite number"),
        ("Init: 870557, ", "", "ended before its results"),
    ],
)
def test_numbers_that_no_run_can_have(old: str, new: str, words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        parse(logs.CLASSIC_GPU_2020.replace(old, new), "phone")


@given(st.text(max_size=300))
def test_words_that_are_no_output_are_refused(text: str) -> None:
    if not re.search(r"nference", text):
        with pytest.raises(DeviceError):
            parse(text, "phone")


@pytest.mark.parametrize(
    "line",
    [
        "INFO: Though XNNPACK delegate is explicitly applied, the model graph will not be executed "
        "by the delegate.",
        "WARN: Unconsumed cmdline flags: --use_xnnpack=true",
    ],
)
def test_an_xnnpack_that_was_asked_for_and_not_applied(line: str) -> None:
    found = parse(f"{line}\n{logs.CLASSIC_2019}", "phone").delegate("CPU")
    assert (found.asked, found.applied) == ("XNNPACK", "CPU")
    assert parse(logs.CLASSIC_2019, "phone").delegate("CPU").applied == "XNNPACK"
    assert parse(logs.LITERT_GPU, "phone").delegate("CPU").asked == "CPU"


def test_what_ended_early_is_kept() -> None:
    with pytest.raises(DeviceError, match="second") as raised:
        parse("first\nsecond\n", "phone")
    assert str(raised.value.__cause__) == "first\nsecond"
