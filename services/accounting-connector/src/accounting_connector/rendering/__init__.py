"""Documents as files: UBL 2.1 to EN 16931, and PDF (domain.md section 4, "XML").

`model` holds what a file is made from, `ubl` and `pdf` turn it into bytes, `worker` does so in a process of its
own, and `workers` keeps a bounded number of such processes for the service.
"""
