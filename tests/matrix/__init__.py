"""Every fault at every call of a deployment, while a prober asks the live name all the time.

    python -m tests.matrix                                  # all of it: hours
    python -m tests.matrix beanstalk --wound reset --every 7

The suite runs samples of it: tests/ci/targets/test_*_faults.py.
"""
