//! What changes between two texts, by lines.

use maud::{Markup, html};

use crate::{call::Call, ui::text};

/// What happens to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It stays.
    Same,
    /// It goes.
    Removed,
    /// It is new.
    Added,
}

/// Pairs of lines that are compared at most; of more, all lines between the ends that are the same
/// count as changed.
const PAIRS_MAX: usize = 1 << 20;
/// Lines around a change that are shown.
const AROUND: usize = 3;

/// Each line of both texts, in order.
pub fn lines<'t>(old: &'t str, new: &'t str) -> Vec<(Change, &'t str)> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let first = old.iter().zip(&new).take_while(same).count();
    let (old_rest, new_rest) = (&old[first..], &new[first..]);
    let ends = old_rest.iter().rev().zip(new_rest.iter().rev());
    let last = ends.take_while(same).count();
    let old_rest = &old_rest[..old_rest.len() - last];
    let new_rest = &new_rest[..new_rest.len() - last];
    let mut out: Vec<(Change, &str)> = old.iter().take(first).map(|l| (Change::Same, *l)).collect();
    between(old_rest, new_rest, &mut out);
    out.extend(
        old.iter()
            .skip(old.len() - last)
            .map(|l| (Change::Same, *l)),
    );
    out
}

/// The longest common part stays.
fn between<'t>(old: &[&'t str], new: &[&'t str], out: &mut Vec<(Change, &'t str)>) {
    let wide = new.len() + 1;
    let mut common = Vec::new();
    if old.len() * new.len() <= PAIRS_MAX {
        common = vec![0_u32; (old.len() + 1) * wide];
        for i in (0..old.len()).rev() {
            for j in (0..new.len()).rev() {
                common[i * wide + j] = match old[i] == new[j] {
                    true => common[(i + 1) * wide + j + 1] + 1,
                    false => common[(i + 1) * wide + j].max(common[i * wide + j + 1]),
                };
            }
        }
    }
    let at = |i: usize, j: usize| common.get(i * wide + j).copied().unwrap_or(0);
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        let both = i < old.len() && j < new.len() && !common.is_empty();
        if both && old[i] == new[j] {
            out.push((Change::Same, old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || at(i + 1, j) >= at(i, j + 1)) {
            out.push((Change::Removed, old[i]));
            i += 1;
        } else {
            out.push((Change::Added, new[j]));
            j += 1;
        }
    }
}

/// The same for a page: signs and colours, and only a few lines around each change.
pub fn shown(call: &Call<'_>, old: &str, new: &str) -> Markup {
    let all = lines(old, new);
    let count = |wanted| all.iter().filter(|(change, _)| *change == wanted).count();
    let (added, removed) = (count(Change::Added), count(Change::Removed));
    let changed: Vec<usize> = (0..all.len())
        .filter(|n| all[*n].0 != Change::Same)
        .collect();
    let near = |n: usize| {
        let at = changed.partition_point(|changed| changed + AROUND < n);
        changed
            .get(at)
            .is_some_and(|changed| changed.abs_diff(n) <= AROUND)
    };
    let mut left_out = 0;
    html! {
        p.hint {
            (call.with("Lines that are new: {added}. Lines that go: {removed}.",
                &[("added", &added.to_string()), ("removed", &removed.to_string())]))
        }
        pre.diff tabindex="0" role="region" aria-label=(call.t("What changes")) {
            @for (n, (change, line)) in all.iter().enumerate() {
                @if near(n) {
                    @if left_out > 0 { (gap(call, left_out)) }
                    ({ left_out = 0; one(*change, line) })
                } @else {
                    ({ left_out += 1; html! {} })
                }
            }
            @if left_out > 0 { (gap(call, left_out)) }
        }
    }
}

fn gap(call: &Call<'_>, count: usize) -> Markup {
    let count = count.to_string();
    html! { span.hint { "  \u{22ef} " (call.with("lines that stay: {count}", &[("count", &count)])) } }
}

fn one(change: Change, line: &str) -> Markup {
    let line = text::visible_code(line);
    html! {
        @match change {
            Change::Same => { span dir="ltr" { "  " (line) } }
            Change::Removed => { del dir="ltr" { "- " (line) } }
            Change::Added => { ins dir="ltr" { "+ " (line) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Change::{Added, Removed, Same},
        lines,
    };

    #[test]
    fn what_is_common_stays() {
        let found = lines("a\nb\nc\nd", "a\nx\nc\ny\nd");
        let wanted = [
            (Same, "a"),
            (Removed, "b"),
            (Added, "x"),
            (Same, "c"),
            (Added, "y"),
        ];
        assert_eq!(found[..5], wanted);
        assert_eq!(found[5..], [(Same, "d")]);
        assert_eq!(lines("", "a"), [(Added, "a")]);
        assert_eq!(lines("a", ""), [(Removed, "a")]);
        assert_eq!(lines("a\nb", "a\nb"), [(Same, "a"), (Same, "b")]);
        assert_eq!(lines("a\na", "a"), [(Same, "a"), (Removed, "a")]);
    }

    #[test]
    fn both_texts_are_in_it_however_long() {
        let many = |mark: &str| {
            (0..1500)
                .map(|n| format!("{mark}{n}\n"))
                .collect::<String>()
        };
        let (old, new) = (many("a"), many("b"));
        let found = lines(&old, &new);
        let of = |skip: super::Change| {
            let kept = found.iter().filter(|(change, _)| *change != skip);
            kept.map(|(_, line)| format!("{line}\n"))
                .collect::<String>()
        };
        assert_eq!((of(Added), of(Removed)), (old, new));
    }
}
