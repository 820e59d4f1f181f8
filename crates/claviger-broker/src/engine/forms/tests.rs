//! Each stored form against its golden file: what is written today is read for good.
