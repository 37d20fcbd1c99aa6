//! wasmill
