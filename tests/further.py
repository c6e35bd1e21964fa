"""Further cases of a kind: `make test-all` runs them too, and `make test` has another case that shows the same kind.

Each is named by its file and test, with its parameters where only some are further ones, under what shows its kind.
"""

from __future__ import annotations

FURTHER: dict[str, tuple[str, ...]] = {
    # The same death at another point, or with another helper; all points are in `make faults`.
    "test_whatever_dies_the_server_ends_in_one_piece with every kind of death": (
        "faults/test_faults.py::test_whatever_dies_the_server_ends_in_one_piece[deploy-after call 3-process-command]",
        "faults/test_faults.py::test_whatever_dies_the_server_ends_in_one_piece[deploy-at line 9-process-command]",
        "faults/test_faults.py::test_whatever_dies_the_server_ends_in_one_piece"
        "[deploy-after call 5-process and children-command]",
        "faults/test_faults.py::test_whatever_dies_the_server_ends_in_one_piece"
        "[deploy-after call 5-process and children-round]",
        "faults/test_faults.py::test_whatever_dies_the_server_ends_in_one_piece"
        "[rollback-at line 5-process and children-command]",
        "faults/test_faults.py::test_whatever_dies_the_server_ends_in_one_piece[deploy-before call 6-reboot-round]",
        "faults/test_faults.py::test_whatever_dies_the_server_ends_in_one_piece[deploy-after call 5-disk full-command]",
        "faults/test_faults.py::test_whatever_dies_the_server_ends_in_one_piece"
        "[deploy-at line 1-disk stays full-command]",
        "faults/test_also_reboots.py::test_a_reboot_in_a_deploy_leaves_one_consumer_and_loses_nothing",
        "faults/test_also_replay.py::test_cut_off_it_is_undone_with_its_offset_or_finished[before call 5-False]",
        "faults/test_also_replay.py::test_cut_off_it_is_undone_with_its_offset_or_finished[after call 5-True]",
        "faults/test_also_reboots.py::test_a_reboot_in_the_undoing_of_a_bad_release_leaves_one_consumer_and_loses_nothing"
        "[after]",
        "deploy/test_recovery.py::test_a_run_that_dies_in_its_swap_is_led_back[killed before the stop]",
        "deploy/test_recovery.py::test_a_run_that_dies_in_its_swap_is_led_back[reboot before the start]",
        "deploy/test_models.py::test_a_death_between_its_writes_is_put_right_by_the_next_command",
        "deploy/test_models.py::test_a_death_while_a_copy_takes_its_place_leaves_a_whole_one",
    ),
    # Each exit of a run, a recovery and a restart: tests/unit/server/run/test_{exits,recovery,restart,unfinished}.py.
    "a swap whose engine cannot act, and a run that a round undoes, on real parts": (
        "faults/test_also_engine.py::test_a_swap_whose_engine_cannot_act_for_seconds_waits_for_it[and back]",
        "faults/test_also_engine.py::test_a_restart_whose_engine_cannot_act_for_seconds_waits_for_it",
        "faults/test_also_engine.py::test_a_run_that_could_not_be_undone_is_closed_by_a_person",
        "faults/test_also_engine.py::test_a_deploy_goes_past_a_run_that_could_not_be_undone",
        "faults/test_also_engine.py::"
        "test_a_consumer_that_cannot_be_killed_is_not_said_to_be_back_and_is_started_by_a_round",
        "faults/test_also_troubles.py::test_whatever_else_goes_wrong_the_server_ends_in_one_piece"
        "[deploy, engine absent before call 5]",
        "faults/test_also_troubles.py::test_whatever_else_goes_wrong_the_server_ends_in_one_piece"
        "[deploy, engine away after call 5]",
        "deploy/test_recovery.py::test_an_engine_that_dies_during_a_watch_is_no_fault_of_what_is_watched[words1]",
        "deploy/test_recovery.py::test_a_release_that_could_not_be_recorded_is_recorded_by_the_next_command",
        "deploy/test_operate.py::test_a_restart_that_fails_its_watch_needs_a_person_and_says_why",
    ),
    # What a person did in the middle, in other ways.
    "one that was stopped or renamed by hand, and one whose name was taken": (
        "faults/test_also_hands.py::test_what_was_changed_by_hand_since_the_look_is_named_and_left_alone[removed]",
        "faults/test_also_hands.py::test_what_was_changed_by_hand_since_the_look_is_named_and_left_alone[replaced]",
        "faults/test_also_hands.py::test_what_was_changed_by_hand_since_the_look_is_named_and_left_alone[started]",
        "faults/test_also_hands.py::test_one_that_is_removed_by_hand_before_it_could_come_back_is_said",
        "faults/test_also_hands.py::"
        "test_a_name_that_is_taken_by_hand_in_the_middle_of_a_swap_is_said_and_the_old_one_works_on[started]",
        "deploy/test_operate.py::test_a_pause_that_begins_between_look_and_run_counts_and_one_that_is_over_does_not",
        "deploy/test_operate.py::test_nobody_pauses_in_the_middle_of_a_run_and_a_second_restart_waits",
        "deploy/test_models.py::test_nobody_chooses_a_model_while_a_run_is_under_way",
        "faults/test_also_rivals.py::test_of_two_laptops_at_the_same_instant_one_wins_and_the_other_is_told_by_whom[1]",
        "faults/test_also_rivals.py::test_of_two_laptops_at_the_same_instant_one_wins_and_the_other_is_told_by_whom[2]",
        "deploy/test_recovery.py::test_of_two_laptops_at_the_same_instant_one_is_told_of_the_other",
    ),
    # Which container is a run of training is one table: tests/unit/server/docker/test_left_alone.py.
    "a training run by its image, and by its name, that no verb touches": (
        "deploy/test_left_alone.py::test_one_that_has_a_consumers_name_and_labels_is_refused_by_every_verb[label]",
        "deploy/test_left_alone.py::test_one_that_has_a_consumers_name_and_labels_is_refused_by_every_verb"
        "[a label of the image]",
        "deploy/test_left_alone.py::test_one_that_has_a_consumers_labels_and_image_is_in_nobodys_way[of-nobody]",
        "deploy/test_left_alone.py::"
        "test_one_whose_id_stands_in_the_journal_of_a_run_that_was_cut_off_is_left_to_a_person[deploy-start-round]",
        "deploy/test_left_alone.py::"
        "test_one_whose_id_stands_in_the_journal_of_a_run_that_was_cut_off_is_left_to_a_person[restart-start-command]",
    ),
    # Other calls over a line that is dark or slow.
    "a look, a health check, a run and its follower over a dark line": (
        "deploy/test_logs.py::test_a_line_that_stays_silent_is_said_and_leaves_nothing_behind",
        "deploy/test_logs.py::test_an_engine_that_goes_away_is_waited_for",
    ),
    # A damaged or unwritable file, in all its ways: tests/unit/server/verbs/test_broken_disk.py, schedule/, state/.
    "one damaged file, one full disk and one root that takes no new file": (
        "deploy/test_recovery.py::test_a_record_of_which_one_entry_is_damaged_still_serves",
        "deploy/test_history.py::test_a_damaged_journal_hides_no_other_run",
        "schedule/test_notes.py::test_a_state_that_is_damaged_begins_anew_and_says_so",
        "schedule/test_notes.py::test_a_history_with_a_broken_line_is_read_on_and_said",
        "schedule/test_notes.py::test_a_clock_that_was_set_raises_nothing[-3456000.0]",
        "schedule/test_broken_disk.py::"
        "test_on_a_disk_that_became_read_only_it_is_started_and_told_and_health_is_critical_at_once",
        "schedule/test_alerts.py::test_a_textfile_that_cannot_be_written_is_shown_and_does_not_wake_anybody",
        "schedule/test_alerts.py::test_a_disk_that_became_read_only_is_told_although_nothing_can_be_remembered",
    ),
    # Where the state may lie and when it moves: tests/unit/server/verbs/test_state_move.py, checks/, state/.
    "a move with the first deploy, one by setup, and one that hosts.yaml asks for": (
        "deploy/test_state.py::test_a_container_that_can_write_there_holds_a_deploy_back_and_no_rollback"
        "[/:/host:ro-warning]",
        "deploy/test_state.py::test_a_container_that_can_write_there_holds_a_deploy_back_and_no_rollback"
        "[/azaion:/azaion-ok]",
        "deploy/test_reach.py::test_what_is_set_aside_is_gone_when_a_run_is_over",
        "deploy/test_reach.py::test_a_config_that_is_a_link_every_other_moment_takes_nothing_along",
    ),
    # What a round decides, from day to day: tests/unit/server/schedule.
    "a round that starts, restarts, tells, and leaves alone": (
        "schedule/test_rounds.py::test_three_times_an_hour_and_then_it_is_left_to_a_person",
        "schedule/test_rounds.py::test_without_that_wish_one_that_is_stuck_is_only_told",
        "schedule/test_rounds.py::test_one_that_was_stopped_on_purpose_stays_so_however_it_ended",
        "schedule/test_rounds_and_runs.py::test_a_run_that_cannot_be_ended_now_is_told_and_tried_again",
        "schedule/test_alerts.py::test_a_failure_that_began_while_nobody_was_named_is_told_once_somebody_is",
        "schedule/test_alerts.py::test_a_heartbeat_that_nobody_takes_is_shown",
        "schedule/test_notes.py::test_what_a_killed_round_was_writing_is_swept_away",
        "faults/test_also_round.py::"
        "test_a_deploy_ends_as_ever_while_rounds_are_made_all_the_time_and_none_of_them_acts[failed]",
        "faults/test_also_round.py::test_a_round_that_is_cut_off_while_it_helps_is_continued_by_the_next"
        "[deploy, line 1]",
        "health/test_consumers.py::test_a_crash_loop_is_critical_whenever_one_looks[bad-exits]",
    ),
    # What is planned, by record and look: tests/unit/laptop/deploy.
    "a rollback, a replay and a change that are carried out": (
        "deploy/test_replay.py::test_a_first_release_of_which_nobody_knows_where_it_began_is_refused",
        "deploy/test_places.py::test_a_foreign_container_that_is_stopped_holds_its_place_too",
        "deploy/test_changes.py::test_a_service_deployed_alone_leaves_the_others_in_force_with_their_config",
    ),
}


PLACES = {f"tests/{place}" for several in FURTHER.values() for place in several}


def is_further(name: str) -> bool:
    """Whether a test that pytest calls so is one of them, or has parameters and is one of all of them."""
    return name in PLACES or name.partition("[")[0] in PLACES
