"""Runs one of ncnn's benchmark networks twice under the emulator, as benchncnn does.

python ncnn_guest.py FOLDER NETWORK.param SIDE
"""

import ctypes
import os
import sys

sys.path.insert(0, sys.argv[1])
import ncnn  # type: ignore[import-not-found]

PREPARE, START, STOP, WRITE = 0x5E01, 0x5E02, 0x5E03, 0x5E04

param, side = sys.argv[2], int(sys.argv[3])
net = ncnn.Net()
net.opt.lightmode = True
net.opt.num_threads = 1
net.opt.use_vulkan_compute = False
pools = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
net.opt.blob_allocator, net.opt.workspace_allocator = pools
ncnn.set_omp_dynamic(0)
ncnn.set_omp_num_threads(1)
net.load_param(param)
net.load_model(ncnn.DataReaderFromEmpty())
image = ncnn.Mat(side, side, 3)
image.fill(0.01)


def run() -> None:
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], image)
    extractor.extract(net.output_names()[0])


mark = ctypes.CDLL(None).sched_get_priority_max
mark(PREPARE)
run()
mark(START)
run()
mark(STOP)
mark(WRITE)
os._exit(0)  # ncnn's allocators and Python's end disagree
