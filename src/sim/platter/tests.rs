//! What is durable, and what is not.

use super::*;

fn disk() -> Platter {
    Platter::new(Latency::Constant(Duration::ZERO), Deeds::default())
}

fn lose_power(disk: &Platter) {
    disk.power_lost(Seed(1), HostId(0), 1);
}

fn fail(disk: &Platter, step: usize, fault: DiskFault) {
    disk.change(DiskChange { step, sync: None, fault: Some(fault) }, Seed(1), HostId(0));
}

/// A disk with a file `log` that holds `abc`, durably.
fn with_log() -> Platter {
    let disk = disk();
    disk.write("log", b"abc").unwrap();
    disk.sync("log").unwrap();
    disk.sync_dir();
    disk
}

#[test]
fn what_a_failed_sync_was_to_write_is_read_and_never_durable() {
    let disk = with_log();
    disk.append("log", b"def").unwrap();
    fail(&disk, 0, DiskFault::SyncFails);
    assert!(!disk.is_bad());
    disk.sync("log").unwrap_err();
    assert!(disk.is_bad() && disk.is_changed());
    disk.unchange(0);
    disk.append("log", b"ghi").unwrap();
    disk.sync("log").unwrap();
    assert_eq!(read(&disk, "log").unwrap(), "abcdefghi");
    lose_power(&disk);
    assert_eq!(read(&disk, "log").unwrap(), "abc\0\0\0ghi");
    disk.write("log", b"anew").unwrap();
    disk.sync("log").unwrap();
    lose_power(&disk);
    assert_eq!(read(&disk, "log").unwrap(), "anew");
}

#[test]
fn of_what_was_not_synced_a_part_is_left_where_writes_are_torn() {
    let mut left = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let disk = with_log();
        disk.append("log", b"def").unwrap();
        fail(&disk, 0, DiskFault::TornWrites);
        disk.power_lost(Seed(seed), HostId(0), 1);
        left.insert(read(&disk, "log").unwrap());
    }
    assert_eq!(left.into_iter().collect::<Vec<_>>(), ["abc", "abcd", "abcde", "abcdef"]);
}

#[test]
fn a_bit_that_flips_is_another_for_good() {
    let disk = with_log();
    fail(&disk, 0, DiskFault::BitFlip);
    assert!(!disk.is_changed() && disk.is_bad());
    let flipped = disk.read("log").unwrap();
    let bits = flipped.iter().zip(b"abc").map(|(is, was)| (is ^ was).count_ones()).sum::<u32>();
    assert_eq!(bits, 1);
    lose_power(&disk);
    assert_eq!(disk.read("log").unwrap(), flipped);
}

#[test]
fn a_disk_that_is_full_takes_nothing_and_one_that_is_emptied_has_nothing() {
    let disk = with_log();
    fail(&disk, 0, DiskFault::NoSpace);
    assert_eq!(disk.append("log", b"d").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.write("other", b"d").unwrap_err().kind(), ErrorKind::StorageFull);
    disk.heal();
    fail(&disk, 1, DiskFault::Emptied);
    assert_eq!(read(&disk, "log").unwrap(), "abc", "until its host starts");
    disk.starts();
    assert!(disk.was_emptied() && disk.list().is_empty());
    disk.starts();
    assert!(!disk.was_emptied(), "there was nothing");
}

fn read(disk: &Platter, name: &str) -> Option<String> {
    disk.read(name).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_content_and_a_name_are_durable_each_for_itself() {
    let disk = disk();
    disk.write("both", b"1").unwrap();
    disk.sync("both").unwrap();
    disk.write("name", b"1").unwrap();
    disk.sync_dir();
    disk.write("content", b"1").unwrap();
    disk.sync("content").unwrap();
    lose_power(&disk);
    assert_eq!(disk.list(), ["both", "name"]);
    assert_eq!(read(&disk, "both").unwrap(), "1");
    assert_eq!(read(&disk, "name").unwrap(), "", "the name was durable, and the content was not");
}

#[test]
fn a_power_loss_takes_back_what_came_after_the_sync() {
    let disk = disk();
    disk.write("log", b"abc").unwrap();
    disk.sync("log").unwrap();
    disk.sync_dir();
    disk.append("log", b"def").unwrap();
    lose_power(&disk);
    assert_eq!(read(&disk, "log").unwrap(), "abc");
    disk.truncate("log", 1).unwrap();
    disk.append("log", b"xyz").unwrap();
    lose_power(&disk);
    assert_eq!(read(&disk, "log").unwrap(), "abc");
    disk.truncate("log", 1).unwrap();
    disk.append("log", b"x").unwrap();
    disk.sync("log").unwrap();
    disk.write("log", b"all new").unwrap();
    lose_power(&disk);
    assert_eq!(read(&disk, "log").unwrap(), "ax");
    disk.truncate("log", 4).unwrap();
    assert_eq!(read(&disk, "log").unwrap(), "ax\0\0");
}

#[test]
fn a_removal_and_a_rename_are_durable_with_the_directory() {
    let disk = disk();
    for name in ["a", "b"] {
        disk.write(name, name.as_bytes()).unwrap();
        disk.sync(name).unwrap();
    }
    disk.sync_dir();
    disk.remove("a").unwrap();
    disk.rename("b", "c").unwrap();
    assert_eq!((disk.list(), read(&disk, "c").unwrap()), (vec!["c".to_owned()], "b".to_owned()));
    lose_power(&disk);
    assert_eq!((disk.list(), read(&disk, "a").unwrap()), (vec!["a".to_owned(), "b".to_owned()], "a".to_owned()));
    disk.rename("b", "a").unwrap();
    disk.sync_dir();
    lose_power(&disk);
    assert_eq!((disk.list(), read(&disk, "a").unwrap()), (vec!["a".to_owned()], "b".to_owned()));
    assert_eq!(disk.directory.borrow().files.len(), 1, "files without a name take no room");
}

#[test]
fn a_name_may_be_used_again_before_the_directory_is_synced() {
    let disk = disk();
    disk.write("a", b"old").unwrap();
    disk.sync("a").unwrap();
    disk.sync_dir();
    disk.remove("a").unwrap();
    disk.write("a", b"new").unwrap();
    disk.sync("a").unwrap();
    assert_eq!(read(&disk, "a").unwrap(), "new");
    disk.sync_dir();
    lose_power(&disk);
    assert_eq!(read(&disk, "a").unwrap(), "new");
    disk.rename("a", "b").unwrap();
    disk.write("a", b"other").unwrap();
    disk.append("b", b"er").unwrap();
    disk.sync("b").unwrap();
    lose_power(&disk);
    assert_eq!((disk.list(), read(&disk, "a").unwrap()), (vec!["a".to_owned()], "newer".to_owned()));
}

#[test]
fn the_latest_change_in_force_wins() {
    let ms = Duration::from_millis;
    let deeds = Deeds::new(6);
    (3..6).for_each(|step| {
        deeds.begin(step);
        deeds.done(step, true);
    });
    let disk = Platter::new(Latency::Constant(ms(1)), deeds.clone());
    let latency = || disk.latency(Seed(1), HostId(0), 0, 0);
    assert_eq!(latency(), ms(1));
    for (step, time) in [(3, 30), (4, 40), (5, 50)] {
        let change = DiskChange { step, sync: Some(Latency::Constant(ms(time))), fault: None };
        disk.change(change, Seed(1), HostId(0));
    }
    assert_eq!(latency(), ms(50));
    disk.unchange(4);
    assert_eq!(latency(), ms(50), "one below has ended");
    disk.unchange(5);
    assert_eq!(latency(), ms(30), "the one below is uncovered");
    assert!(disk.heal());
    assert_eq!(latency(), ms(1));
    assert!(!disk.heal());
    assert_eq!(deeds.inert(false), [4], "no sync was ever made under it");
}

#[test]
fn what_is_not_there_is_not_found() {
    let disk = disk();
    assert_eq!(disk.read("a"), None);
    for missing in [disk.sync("a"), disk.truncate("a", 0), disk.remove("a"), disk.rename("a", "b")] {
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
