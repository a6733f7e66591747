"""What a study is: its agreement, who takes part, a party's own table, and the order of rounds."""
