"""What benchmark_model prints, cut to the lines that matter.

Where an address stands above it, a text is what a user's tool printed; the others are put together
from such lines, and say so.
"""

# https://github.com/tensorflow/tensorflow/issues/43541, 2020: no percentiles, no prefix.
CLASSIC_GPU_2020 = """\
STARTING!
Use gpu: [1]
INFO: Created 1 GPU delegate kernels.
Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
The input model file size (MB): 7.07479
Initialized session in 870.557ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=4 first=130565 curr=120829 min=117370 max=130565 avg=122373 std=4930

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=119212 curr=118055 min=113737 max=124776 avg=119375 std=1948

Inference timings in us: Init: 870557, First inference: 130565, Warmup (avg): 122373, Inference (avg): 119375
"""  # noqa: E501

# https://github.com/tensorflow/tensorflow/issues/56301, 2022: through logcat.
LOGCAT_PARTIAL = """\
05-30 15:16:44.857  3380  3380 I tflite  : Explicitly applied NNAPI delegate, and the model graph will be partially executed by the delegate w/ 44 delegate kernels.
05-30 15:16:44.858  3380  3380 I tflite  : Initialized session in 126.059ms.
05-30 15:16:45.362  3380  3380 I tflite  : count=40 first=32942 curr=12594 min=11340 max=32942 avg=12581.9 std=3331
05-30 15:16:46.365  3380  3380 I tflite  : count=75 first=12840 curr=11853 min=11787 max=13649 avg=12167.6 std=325
05-30 15:16:46.366  3380  3380 I tflite  : Inference timings in us: Init: 126059, First inference: 32942, Warmup (avg): 12581.9, Inference (avg): 12167.6
"""  # noqa: E501

# Put together: lines as recent builds print them, with percentiles, one warm-up run, and a GPU that
# takes a tenth of the nodes and leaves the rest to XNNPACK.
CLASSIC_PARTLY_GPU = """\
INFO: STARTING!
INFO: Use gpu: [1]
VERBOSE: Replacing 54 out of 559 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions for subgraph 0.
INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 3 delegate kernels.
VERBOSE: Replacing 456 out of 506 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 13 partitions for subgraph 0.
INFO: Initialized session in 2227.67ms.
INFO: count=1 curr=332961 p5=332961 median=332961 p95=332961

INFO: count=25 first=313325 curr=308050 min=299074 max=324703 avg=306869 std=6003 p5=299213 median=305582 p95=313707

INFO: Inference timings in us: Init: 2227672, First inference: 332961, Warmup (avg): 332961, Inference (avg): 306869
INFO: Memory footprint delta from the start of the tool (MB): init=119.5 overall=176.777
INFO: Overall peak memory footprint (MB) via periodic monitoring: 193.2383
"""  # noqa: E501

# Put together: the refusal is worded as in github.com/tensorflow/tensorflow/issues/56301 and
# 56482. What was applied executes nothing, and XNNPACK silently takes the graph.
CLASSIC_FELL_BACK = """\
INFO: STARTING!
INFO: GPU delegate created.
INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.
VERBOSE: Replacing 510 out of 559 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 11 partitions for subgraph 0.
INFO: count=2 first=362227 curr=340809 min=340809 max=362227 avg=351518 std=10709 p5=340809 median=362227 p95=362227

INFO: count=25 first=393529 curr=269246 min=269246 max=393529 avg=281831 std=27837 p5=269417 median=270283 p95=340777

INFO: Inference timings in us: Init: 123396, First inference: 362227, Warmup (avg): 351518, Inference (avg): 281831
"""  # noqa: E501

# https://github.com/yuenshome/yuenshome.github.io/issues/77, 2019.
CLASSIC_2019 = """\
STARTING!
Initialized session in 9.933ms
Running benchmark for at least 4 iterations and at least 0.5 seconds
count=7 first=127425 curr=66709 min=66709 max=127425 avg=76605.9 std=20944

Running benchmark for at least 10 iterations and at least 1 seconds
count=15 first=66753 curr=66800 min=66699 max=66838 avg=66767.6 std=39

Average inference timings in us: Warmup: 76605.9, Init: 9933, no stats: 66767.6
"""

# https://github.com/mlcommons/mobile_app_open/issues/1134, 2026: LiteRT's tool, milliseconds.
LITERT_GPU = """\
INFO: [benchmark_litert_model.h:92] Signature name:       prefill_1024
INFO: [benchmark_litert_model.h:94] Model initialization: 23744.73 ms
INFO: [benchmark_litert_model.h:96] Warmup (first):       7441.04 ms
INFO: [benchmark_litert_model.h:98] Warmup (avg):         7441.04 ms (1 runs)
INFO: [benchmark_litert_model.h:100] Inference (avg):      7430.20 ms (10 runs)
INFO: [benchmark_litert_model.h:104] Inference (min):      7416.40 ms
INFO: [benchmark_litert_model.h:106] Inference (max):      7448.86 ms
INFO: [benchmark_litert_model.h:108] Inference (std):      9.92
INFO: [benchmark_litert_model.h:115] Throughput:           27.46 MB/s
INFO: [benchmark_litert_model.h:124]
Memory Usage:
INFO: [benchmark_litert_model.h:126] Init footprint:       6391.74 MB
INFO: [benchmark_litert_model.h:128] Overall footprint:    6391.74 MB
INFO: [benchmark_litert_model.h:135] Peak memory usage not available. (peak_mem_mb <= 0)
"""
