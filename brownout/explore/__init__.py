"""Fault maps: a trial for every command that a task sends to Redis and every fault that can strike it there."""
