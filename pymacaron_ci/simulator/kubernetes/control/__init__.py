"""Controllers: each brings what is there a step nearer to what objects declare."""
