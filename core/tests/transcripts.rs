//! The protocol's stories as golden text files. `UPDATE_GOLDENFILES=1` writes them anew; read
//! every change before it is kept: a transcript that shows wrong behaviour is a bug report.

mod common;

use std::path::{Path, PathBuf};

use common::script::Script;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

/// Each story is a test of its own.
macro_rules! stories {
    ($($name:ident,)+) => {
        $(
            #[test]
            fn $name() {
                let file = folder().join(concat!(stringify!($name), ".txt"));
                goldenscript::run(&mut Script::default(), file).expect("a sound script");
            }
        )+

        const STORIES: &[&str] = &[$(stringify!($name),)+];
    };
}

stories! {
    a_decided_mark_never_outruns_its_decree,
    a_deposed_leaders_notice,
    a_doubled_message_changes_nothing,
    a_failed_write_stops_the_replica,
    a_full_window_gives_decrees_back,
    a_group_forms_once_all_have_met,
    a_laggard_catches_up,
    a_late_completion_of_an_older_ballot_moves_nothing,
    a_leader_decides_from_remote_votes_before_its_own_write,
    a_leader_is_announced_once_its_barrier_is_decided,
    a_leader_without_a_quorum_steps_down,
    a_mark_is_due_once_its_decree_is_durable,
    a_nack_teaches_first_hand,
    a_notice_of_a_ballot_covers_only_what_was_accepted_in_it,
    a_notice_waits_for_the_next_accept,
    a_notice_does_not_wait_for_the_silent,
    a_promise_counts_once_all_its_parts_are_here,
    a_promise_reports_only_what_is_durable,
    a_promise_waits_for_disk,
    a_restarted_proposer_never_reuses_a_ballot,
    a_stalled_disk_gives_up_leadership,
    a_wiped_disk_does_not_vote,
    accepted_waits_for_disk,
    accepts_are_taken_in_order,
    acknowledged_only_from_disk,
    an_idle_log_proves_its_tail,
    group_commit,
    strangers_are_dropped_without_effect,
    the_highest_ballot_wins,
    the_highest_ballot_wins_among_promises,
    the_last_accept_is_lost,
    the_last_accepted_is_lost,
    the_last_learned_is_lost,
    the_last_notice_is_lost,
    the_last_promise_is_lost,
    trimmed_is_not_absent,
    votes_of_different_ballots_do_not_add_up,
}

#[test]
fn every_file_is_a_story_that_runs() {
    let files = std::fs::read_dir(folder()).expect("the folder of transcripts");
    let mut names: Vec<String> = files
        .map(|file| {
            file.expect("an entry").path().file_stem().expect("a name").display().to_string()
        })
        .collect();
    names.sort();
    let mut stories = STORIES.to_vec();
    stories.sort_unstable();
    assert_eq!(names, stories);
}
