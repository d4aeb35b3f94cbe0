//! What every storage must do, whatever it is made of.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod common;

#[path = "conformance/folders.rs"]
mod folders;
#[path = "conformance/links.rs"]
mod links;
#[path = "conformance/uploads.rs"]
mod uploads;

/// Runs every case against every storage.
macro_rules! conformance {
    ($($group:ident: $($case:ident)+;)+) => {
        conformance!(@on local, crate::common::local(); $($group: $($case)+;)+);
        conformance!(@on memory, crate::common::memory(); $($group: $($case)+;)+);
        conformance!(@on home_in_local, crate::common::home_in(crate::common::local()); $($group: $($case)+;)+);
        conformance!(@on home_in_memory, crate::common::home_in(crate::common::memory()); $($group: $($case)+;)+);
    };
    (@on $storage:ident, $make:expr; $($group:ident: $($case:ident)+;)+) => {
        mod $storage {
            $(mod $group {
                $(#[test] fn $case() {
                    let fixture = $make;
                    crate::$group::$case(&*fixture.fs);
                })+
            })+
        }
    };
}

conformance! {
    uploads:
        a_file_appears_when_its_upload_is_complete
        a_new_file_appears_with_the_mode_it_was_given_and_a_replaced_one_keeps_its_own
        a_reader_keeps_the_content_it_opened
        a_broken_upload_resumes_at_its_size
        an_append_continues_a_broken_upload
        resuming_drops_what_lies_beyond_the_offset
        an_offset_beyond_what_is_stored_is_refused
        an_offset_inside_a_complete_file_keeps_its_start
        an_offset_at_the_very_end_extends_the_file
        offset_zero_replaces
        an_append_extends_a_complete_file_for_all_to_see
        an_append_to_nothing_makes_the_file
        a_second_append_at_the_same_time_is_busy
        two_uploads_of_one_name_never_mix
        the_second_of_two_broken_uploads_leaves_nothing
        resuming_an_upload_under_way_is_busy
        a_new_name_must_be_free
        a_new_name_lost_to_somebody_else_is_no_replacement
        an_upload_without_data_leaves_nothing_when_broken
        a_discarded_upload_leaves_nothing
        a_fresh_upload_forgets_the_broken_one
        hidden_names_are_refused_everywhere
        the_permission_bits_of_a_replaced_file_stay
        names_may_be_any_bytes_up_to_255
        parts_combine_into_one_file
        a_combination_with_a_problem_changes_nothing
        an_upload_into_a_removed_folder_fails;
    folders:
        missing_things_are_not_found
        files_are_no_folders_and_folders_no_files
        a_list_tells_kind_and_size_and_names_agree
        a_folder_is_removed_only_when_empty
        broken_uploads_do_not_keep_a_folder
        deleting_a_broken_upload_by_its_name
        a_tree_is_removed_but_not_what_its_links_lead_to
        a_very_deep_tree_is_removed
        renaming_replaces_files_and_spares_full_folders
        times_are_set_to_the_nanosecond
        modes_are_set_without_special_bits
        the_root_itself_cannot_be_changed
        a_read_only_view_refuses_every_change
        a_home_keeps_to_itself;
    links:
        links_lead_to_places_inside_the_root
        a_list_shows_links_and_where_they_lead
        a_loop_of_links_is_denied
        uploads_go_through_links_and_leave_the_link
        uploads_through_links_that_lead_nowhere_are_denied
        deleting_and_renaming_mean_the_link_itself
        a_home_is_its_own_root_for_links
        links_to_hidden_names_are_not_made;
}
