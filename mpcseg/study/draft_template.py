"""The text of a draft, in which every field is explained; `mpcseg.study.draft` fills it in."""

FEATURE = """\
[[features]]
name = {name}
transform = {transform}
lower = {lower}
upper = {upper}
"""

NUMERIC = """\
[[profile_columns]]
name = {name}
kind = "numeric"
transform = {transform}
lower = {lower}
upper = {upper}
"""

CATEGORY = """\
[[profile_columns]]
name = {name}
kind = "category"
values = {values}
other = {other}
unknown = {unknown}
protected = {protected}
"""

NO_COLUMNS = """\
# [[profile_columns]]
# name = "age_band"
# kind = "category"
# values = ["18-29", "30-49", "50 and more"]
# other = "other"
# unknown = ""
# protected = true
"""

PARTY = """\
[[parties]]
card = {card}
{records}
"""

DRAFT = """\
# The draft of a study agreement. Discuss and edit it; nobody has signed it yet. Then one
# organisation freezes and signs it, and sends the file NAME.agreement round for the others to sign:
#
#     mpcseg study sign THIS_FILE --identity FOLDER
#
# Comments are not part of the agreement. Paths of cards count from this file's folder.

name = {name}

# What the segments are for, and why the customers' records may be used for it (such as consent, or
# a legitimate interest, with where it is written down). Both are part of what is signed; one line
# of plain text each.
purpose = {purpose}
legal_basis = {legal_basis}

# How many segments to look for, and how many rounds at most: rounds end earlier once the segments
# stand still. Each round spends privacy budget, so that more of them mean more noise in each.
# n_clusters = {{ smallest = 3, largest = 7 }} has the study choose: it tries each number out first,
# which takes rounds and three tenths of the privacy budget.
n_clusters = {n_clusters}
n_rounds = {n_rounds}

# Whether sizes of segments are told by party as well, to everybody who receives the report.
party_shares = {party_shares}

# Of the starting centroids; the same seed starts in the same way.
seed = {seed}

# A study that follows a former one starts from that one's released centroids instead, and shows
# what has changed since: the digest of the former agreement. Features, radius and n_clusters must
# be the former's; the key node's organisation must have received the former's centroids.
{former}

# "planned" chooses the smallest parameter set with 128-bit security that carries the study;
# `mpcseg plan --study THIS_FILE` shows it with its cost. A set can be fixed by name.
parameter_set = {parameter_set}

# The last day (UTC) on which the study may run, and for how many days the compute node keeps
# anything once the last round is over.
expires = {expires}
retention_days = {retention_days}

# How far out a record may lie once each feature is scaled to [-1, 1]: its L2 norm is clipped to
# this. A smaller radius needs less noise, and pulls in whoever lies outside. Without it, records
# are clipped by the features' bounds alone.
{radius}

# --- features ------------------------------------------------------------------------------
# What is clustered on, in this order; no other column is read. Bounds are in original units and
# are agreed on without looking at anybody's data: values outside are clipped, counted and warned
# about. Bounds far wider than the data blur the segments, and noise with them. transform "log1p"
# suits amounts and counts with a heavy tail; "identity" leaves values as they are.

{features}
# --- profile columns -----------------------------------------------------------------------
# What is told of the segments beside the features: means and spreads of kind "numeric" (fields as
# of a feature), shares of kind "category". A cell that holds none of the agreed values counts as
# `other`, an empty one as `unknown`; where that is "", a table that has such a cell is refused.
# Groups of protected columns are audited for fairness: is a group's share in a segment under
# `threshold` (0.8 is the four-fifths rule) of its share of everybody? Columns spend a tenth of the
# privacy budget, however many they are.

{columns}
[fairness]
threshold = {threshold}

# --- consent -------------------------------------------------------------------------------
# Records whose column does not hold exactly this value, as text, take no part. Left out: every
# record in a party's table takes part.

{off}[consent]
{off}column = {column}
{off}value = {value}

# --- privacy -------------------------------------------------------------------------------
# The budget (differential privacy, for one record) of everything that the key node decrypts in all
# rounds together. Smaller epsilon, more noise; `mpcseg plan` says what it will mean for the
# expected number of records. delta should be well below one over the number of records.
#
# epsilon = "none" releases exact sums and must be acknowledged, word for word, by
#     acknowledgement = "{sentence}"

[privacy]
epsilon = {epsilon}
delta = {delta}
acknowledgement = {acknowledgement}

# --- release -------------------------------------------------------------------------------
# What leaves the key node: segments of fewer customers than smallest_segment are not shown, and
# every number is rounded to significant_digits (2 to 6). `report` names the organisations that
# receive the segment report, `centroids` those that can label their own customers; an empty list
# means nobody.

[release]
smallest_segment = {smallest_segment}
significant_digits = {significant_digits}
report = {report}
centroids = {centroids}

# --- organisations -------------------------------------------------------------------------
# Each is known by the card that it made with `mpcseg identity new` and sent round. Compare the
# fingerprints (`mpcseg identity show FILE.card`) by telephone before you sign.
#
# The compute node and the key node must be run by organisations that do not collude: together
# they could decrypt every record. Two organisations are enough for a study: one runs the key node
# and a party node, the other the compute node and a party node.

[compute]
card = {compute}

[key]
card = {key}

# most_records is optional: how many records a party brings at most. Parties that say so, and fit,
# share a block of ciphertexts (8192 records in the smaller parameter sets, 16384 in the larger),
# and rounds get cheaper, for a block costs the same however full it is. A party without it fills
# blocks of its own, and the compute node learns how many.

{parties}"""
