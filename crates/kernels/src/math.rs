//! (interface draft)
