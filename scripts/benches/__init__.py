"""The benchmarks behind `make bench`: one file a subject, everything started here and on loopback.

Other work on the machine moves every absolute figure, so what is compared is measured by turns in
one run, and the ratio shown is the median of the pairs with its spread.
"""
