"""Fault maps: for every command that a task sends to Redis, and every fault that can strike this command, a trial shows
the outcome."""
