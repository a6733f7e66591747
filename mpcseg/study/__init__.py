"""What a study is: its agreement, who takes part, what is released, and the order of rounds."""
