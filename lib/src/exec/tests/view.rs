//! The surroundings of a run's process.

use super::on_each_bench;

#[test]
fn the_payload_is_root_and_process_one() {
    on_each_bench(|bench| assert_eq!(bench.prints("echo $$; id -u; id -g"), "1\n0\n0\n"));
}
