#!/bin/sh
# Your own photos, in one folder a class: a recipe, a build, and the first photo classified.
#   sh own_photos.sh photos
#   sh own_photos.sh photos --arch resnet18 --epochs 10     # options of init
set -eu
photos=${1:?'usage: sh own_photos.sh PHOTOS [options of edgekit init]'}
shift
test -e own_photos.yaml ||
    edgekit init "$photos" --target rpi --out own_photos.yaml --yes "$@"
edgekit build own_photos.yaml --target rpi
folder=build/own_photos/rpi
choice=$(python -c "import json; print(json.load(open('$folder/manifest.json'))['choice'])")
photo=$(find "$photos" -type f ! -name '.*' | sort | head -n 1)
python "$folder/$choice/classify.py" "$photo"
