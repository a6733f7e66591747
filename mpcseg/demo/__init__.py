"""A whole study on one machine: real nodes as processes of their own, real files, real TLS.

Only a demonstration may do what this does: know every party's records, to deal them out and to
compare the result with scikit-learn on the pooled table.
"""
