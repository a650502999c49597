"""Elastic Beanstalk and the parts of an AWS account around it: environments whose instances really
run, names that move between them.
"""
