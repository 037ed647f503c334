"""From a school's export to minimised interactions: one importer a format.

Minimisation happens at the door: a format names the few fields that are read, and every other
field is named in the report, counted and dropped before anything is stored. A row that cannot
be used is rejected with a reason; nothing is repaired by a guess.
"""
