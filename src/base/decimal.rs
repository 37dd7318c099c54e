//! Exact decimal and rational numbers: money, percentages and ratios are never floats.
