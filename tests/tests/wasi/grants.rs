//! Every grant can be missing.
