"""Post-training quantisation as a search: what may help, tried in order, judged on images."""
