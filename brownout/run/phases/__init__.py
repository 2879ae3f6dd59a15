"""The phases of a trial before and after the load: bring the system to rest; then wait until its work is finished; then
read the final state."""
