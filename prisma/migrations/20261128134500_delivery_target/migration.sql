-- DropIndex
DROP INDEX "delivery_event_id_action_url_key";

-- Written by hand: an index entry has at most 2.7 kB, and a URL may be longer than that.
CREATE UNIQUE INDEX delivery_target ON delivery (event_id, action, hashtextextended(url, 0));
