//! Pages of lists.

use crate::{
    IamError,
    answer::{Node, invalid},
    call::Call,
};

const ITEMS_MAX: usize = 1000;
const ITEMS: usize = 100;

/// Members of a page, and the fields that follow them.
type Page<T> = (Vec<T>, Vec<(&'static str, Node)>);

impl Call<'_> {
    /// A page of a list: `all` has what each is sorted by. A marker is that of the last one of the
    /// page before, in hex.
    pub fn page(
        &self,
        name: &'static str,
        all: Vec<(String, Node)>,
    ) -> Result<Vec<(&'static str, Node)>, IamError> {
        let (members, mut fields) = self.cut(all)?;
        fields.insert(0, (name, Node::List(members)));
        Ok(fields)
    }

    /// The members of a page, and whether there are more and from where on they are listed.
    pub fn cut<T>(&self, mut all: Vec<(String, T)>) -> Result<Page<T>, IamError> {
        let limit = match self.form.get("MaxItems") {
            None => ITEMS,
            Some(text) => match text.parse() {
                Ok(limit @ 1..=ITEMS_MAX) => limit,
                _ => return Err(invalid(&format!("MaxItems is 1 to {ITEMS_MAX}"))),
            },
        };
        let after = match self.form.get("Marker") {
            None => None,
            Some(text) => {
                let read = hex::decode(text)
                    .ok()
                    .and_then(|b| String::from_utf8(b).ok());
                Some(read.ok_or_else(|| invalid("the marker is none of an earlier answer"))?)
            }
        };
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let rest = all.into_iter();
        let mut rest = rest.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        let marker = page.last().map(|(key, _)| hex::encode(key));
        let members = page.into_iter().map(|(_, member)| member).collect();
        let mut fields = vec![("IsTruncated", more.into())];
        if let (true, Some(marker)) = (more, marker) {
            fields.push(("Marker", marker.into()));
        }
        Ok((members, fields))
    }

    /// The path that what is listed begins with.
    pub fn path_prefix(&self) -> &str {
        self.form.get("PathPrefix").unwrap_or("/")
    }
}
