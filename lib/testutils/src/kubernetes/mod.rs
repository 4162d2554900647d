//! A Kubernetes cluster in this process.
//!
//! - `schema`: whether objects are what the API says, and pods what `restricted` admits

mod schema;

pub use schema::{faults, violations};
