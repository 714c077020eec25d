#!/bin/sh
# A Keras model for an Android app: int8 for the CPU, two more forms of it for delegates, and float16.
# report.html has the Kotlin that feeds them.
set -eu
cd "$(dirname "$0")"
test -e model.keras || python make_model.py   # or put yours here, with photos/ in one folder a class
edgekit build recipe.yaml --target android
python build/keras_android/android/litert/classify.py photos/round/000.png
# With a phone on USB, and TensorFlow's benchmark_model for its processor:
#   edgekit device add phone --adb SERIAL
#   edgekit bench build/keras_android/android --device phone --benchmark-binary benchmark_model
