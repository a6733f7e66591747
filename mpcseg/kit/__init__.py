"""Start-up kits: what each organisation of a signed agreement needs to run its part.

Made from the agreement alone: nothing private is read, so that nothing private can get in.
"""
