"""What the demo does, one use case in each module; every step gives a sentence that says what happened."""
