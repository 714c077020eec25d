"""Tests of edgekit/model_search."""
