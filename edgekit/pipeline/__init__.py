"""Plan a recipe for targets, run the plan, and judge what comes of it."""
