"""Joint customer segmentation in which nobody sees a customer.

The folders are the architecture, lowest layer first: ``errors``, ``reference``, ``ckks``,
``study``, ``wire``, ``engine``, ``nodes``, ``report``, ``cli``. Imports only go down.
"""

__version__ = "0.1.0"
