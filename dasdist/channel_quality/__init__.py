"""Which channels of a fibre are dead, clipped, noisy or duplicated, hour by hour."""
