"""Bring a model into use on a device: releases, proved there before the switch."""
