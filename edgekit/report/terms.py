"""The words of the trade that pages use, each in a sentence or two."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    name: str
    meaning: str


TERMS = {
    "agreement": Term(
        "Agreement",
        "Share of the images for which the compressed file names the float model's class, right "
        "or wrong. It shows what compression changed, whatever the labels say.",
    ),
    "audit": Term(
        "Audit",
        "What the file computes in, read back from the file and from the runtime that loads it: "
        "it tells whether you got what you asked for.",
    ),
    "bound": Term(
        "Lower bound",
        "The least time that the work and the memory traffic can take on such a processor. The "
        "real latency is longer.",
    ),
    "calibration": Term(
        "Calibration",
        "A few training images are run through the float model to learn the range of each tensor,"
        " which int8 then divides into 256 steps.",
    ),
    "confusion": Term(
        "Confusion matrix",
        "Each row is a class as it is labelled, each column what the model says. Right answers "
        "are on the diagonal.",
    ),
    "drop": Term(
        "Drop",
        "Points of top-1 lost against the float model, on the same images. Negative: more images "
        "are right than before.",
    ),
    "evidence": Term(
        "Evidence",
        "Where a figure was seen. Measured: on the target's own device. Emulated: on its "
        "instruction set; accuracy alone. Host: on the machine that built; latency as a ratio to "
        "float alone. Estimated: computed from a model of the device.",
    ),
    "fast-path": Term(
        "Fast path",
        "The optimised kernels of a runtime (XNNPACK in LiteRT). An operator outside of it runs "
        "in plain reference code, often many times slower.",
    ),
    "gate": Term(
        "Gate",
        "A limit that the recipe or the target sets. Held or broken if the whole 95 % interval "
        "lies on one side of it; else the images or the runs cannot tell.",
    ),
    "interval": Term(
        "95 % interval",
        "Where the true figure lies in 95 of 100 such measurements. More images or runs make it "
        "narrower.",
    ),
    "latency-ratio": Term(
        "Latency ratio",
        "Median latency against the float model on the same runtime and threads, both timed in "
        "turns, in several processes one after the other. 0.40 is 2.5 times as fast.",
    ),
    "limit": Term(
        "Limit",
        "The least time that an operator could take here, all in int8: its arithmetic or its bytes "
        "at the best rates that the same runtime reached on this machine in a few plain layers (a "
        "roofline). Below 1 its data lay nearer to the processor than theirs.",
    ),
    "macs": Term(
        "MACs",
        "Multiply-accumulates: the arithmetic of one inference. Their share in integers tells "
        "how much of the work was really compressed.",
    ),
    "mcnemar": Term(
        "McNemar's test",
        "Compares two models on the same images by those that only one of them gets right. A "
        "small p says that the difference is no chance.",
    ),
    "median": Term(
        "p50, p90",
        "Half of the runs take no longer than p50, the median; nine of ten no longer than p90.",
    ),
    "per-channel": Term(
        "Per channel",
        "Each output channel of a layer has its own int8 step, which loses less than one step for"
        " all of them (per tensor).",
    ),
    "recall": Term("Recall", "Of the images of a class, the share that the model names so."),
    "score": Term(
        "Probability",
        "How probable the model calls its answer, from 0 to 1. It is the model's own word, and "
        "can be far from how often it is right.",
    ),
    "sqnr": Term(
        "SQNR",
        "Signal to quantisation noise ratio of the scores, or of what an operator gives, in "
        "decibels: how far they are from the float model's. 10 dB more is a tenth of the noise; "
        "above 20 dB answers seldom change.",
    ),
    "throttling": Term(
        "Throttling",
        "A hot or badly supplied processor lowers its clock. What is measured then is no result.",
    ),
    "top1": Term("Top-1", "Share of the images for which the class of the highest score is right."),
    "unfused": Term(
        "Unfused Q/DQ",
        "Quantise and dequantise operators that run as steps of their own, as the runtime could "
        "not merge them into their neighbours: each one copies a tensor.",
    ),
    "speed": Term(
        "Speed",
        "The verdict on the latency ratio: better is faster than the float model on the same "
        "runtime, worse is slower.",
    ),
    "verdict": Term(
        "Verdict",
        "Better or worse only where the interval leaves no doubt; else the images or the runs "
        "cannot tell.",
    ),
}

SEARCH_TERMS = {
    "front": Term(
        "Front",
        "The candidates that no other beats in accuracy, latency and size together (Pareto). Which "
        "of them is best depends on what you need.",
    ),
    "held-back": Term(
        "Held back",
        "Training images that no candidate learns from: candidates are compared on them, so that "
        "the validation split chooses nothing.",
    ),
    "rung": Term(
        "Rung",
        "How closely a search has looked at a candidate: free (nothing was trained), short (a few "
        "epochs on fewer images), full (as the recipe says).",
    ),
}
"""Of pages about many recipes."""
