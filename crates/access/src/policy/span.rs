//! Where a statement stands in the text of its document.

use super::{
    compile::list,
    json::{self, Value},
};

/// A place in a text, from 1: line, and column in characters.
pub type TextPosition = (usize, usize);

/// Where a statement, by its number from 0, begins and ends.
pub fn span(text: &str, statement: usize) -> Option<(TextPosition, TextPosition)> {
    let read = json::read(text).ok()?;
    let Value::Object(members) = &read.node.value else {
        return None;
    };
    let mut members = members.iter();
    let statements = members.find(|member| member.name == "Statement")?;
    let found = list(&statements.node).get(statement)?;
    Some((place(text, found.at)?, place(text, found.end)?))
}

fn place(text: &str, at: usize) -> Option<TextPosition> {
    let before = text.get(..at)?;
    let line = before.rsplit('\n').next().unwrap_or_default();
    Some((before.matches('\n').count() + 1, line.chars().count() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_found_by_its_number() {
        let text = "{\"Version\": \"2012-10-17\",\n \"Statement\": [{\"a\": 1},\n{\"b\": 2}]}";
        assert_eq!(span(text, 0), Some(((2, 16), (2, 24))));
        assert_eq!(span(text, 1), Some(((3, 1), (3, 9))));
        assert_eq!(span(text, 2), None);
        assert_eq!(span("{\"Statement\": {}}", 0), Some(((1, 15), (1, 17))));
        assert_eq!(span("[]", 0), None);
    }
}
