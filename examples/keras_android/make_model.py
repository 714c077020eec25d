"""A small Keras model of one's own, and photos that it has not seen: stands for yours.

It tells discs from squares, takes RGB from 0 to 255, and is trained in seconds.
"""

import sys
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "own_data"))
from shapes import CLASSES, drawn, write_photos

keras.utils.set_random_seed(0)
layers = keras.layers
net = keras.Sequential([
    keras.Input((64, 64, 3)),
    layers.Rescaling(1 / 255),
    layers.Conv2D(16, 3, strides=2, activation="relu"),
    layers.Conv2D(32, 3, strides=2, activation="relu"),
    layers.Conv2D(32, 3, strides=2, activation="relu"),
    layers.GlobalAveragePooling2D(),
    layers.Dense(len(CLASSES)),
])  # fmt: skip
labels = np.arange(400) % 2
images = np.stack([np.asarray(drawn(CLASSES[c], 1000 + i)) for i, c in enumerate(labels)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
net.compile(keras.optimizers.Adam(3e-3), loss)
net.fit(images.astype("float32"), labels, batch_size=40, epochs=30, verbose=0)
net.save("model.keras")
write_photos(Path("photos"), 240)
