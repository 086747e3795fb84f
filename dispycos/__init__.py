"""Distributed communicating tasks on every CPU of every machine you own."""
