//! Measures the whole system from outside.
