"""Is it right, how fast is it, does it hold the gates, is it what was asked for?"""
