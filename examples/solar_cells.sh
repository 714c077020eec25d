#!/bin/sh
# Functional or defective? The demo: a MobileNetV4 for solar cells, as int8 for a Raspberry Pi, and
# then one cell classified. From edgekit's own folder, with `pip install '.[demo]'`.
set -eu
edgekit build recipes/mobilenet_int8.yaml --target rpi
images=$(python -c 'import elpv_dataset, os; print(os.path.dirname(elpv_dataset.__file__))')/data/images
python build/mobilenet_int8/rpi/litert/classify.py "$images/cell0001.png"
