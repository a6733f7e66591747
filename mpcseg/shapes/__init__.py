"""What a recipient computes from released segments: rules in words, and other shapes of segments.

Nothing here needs a record, a key or a round: all of it follows from `mpcseg.study.results`.
"""
