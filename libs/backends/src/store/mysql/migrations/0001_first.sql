-- Ids are bytes and compared as such: VARBINARY, never a collation. Text for people is utf8mb4.
-- A primary key begins with its box, so that a box's rows lie together on disk.

-- What there is in each conversation up to its last row: the head of its outbox, locked by whoever adds a row.
CREATE TABLE conversations (
  id VARBINARY(160) NOT NULL,
  top BIGINT UNSIGNED NOT NULL,
  time_ms BIGINT UNSIGNED NOT NULL,
  message_count BIGINT UNSIGNED NOT NULL,
  last_message BIGINT UNSIGNED NOT NULL,
  mention_all BIGINT UNSIGNED NOT NULL,
  membership BIGINT UNSIGNED NOT NULL,
  sent_smaller BIGINT UNSIGNED NOT NULL,
  sent_larger BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The rows of conversations, each with what there is up to it, and the inboxes written in its own commit.
CREATE TABLE outbox (
  conversation VARBINARY(160) NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  message_id BIGINT UNSIGNED NOT NULL,
  sender VARBINARY(64) NOT NULL,
  client_message_id VARBINARY(1024) NOT NULL,
  time_ms BIGINT UNSIGNED NOT NULL,
  counted TINYINT UNSIGNED NOT NULL,
  fan_out TINYINT UNSIGNED NOT NULL COMMENT '0 in the commit, 1 on write, 2 on read',
  message_count BIGINT UNSIGNED NOT NULL,
  last_message BIGINT UNSIGNED NOT NULL,
  mention_all BIGINT UNSIGNED NOT NULL,
  membership BIGINT UNSIGNED NOT NULL,
  sent_smaller BIGINT UNSIGNED NOT NULL,
  sent_larger BIGINT UNSIGNED NOT NULL,
  inboxes BLOB NOT NULL,
  content MEDIUMBLOB NOT NULL,
  PRIMARY KEY (conversation, seq)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The head of each user's inbox, and how many changes of conversations no row of it tells.
CREATE TABLE inboxes (
  user VARBINARY(64) NOT NULL,
  top BIGINT UNSIGNED NOT NULL,
  changes BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (user)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE inbox (
  user VARBINARY(64) NOT NULL,
  inbox_seq BIGINT UNSIGNED NOT NULL,
  conversation VARBINARY(160) NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (user, inbox_seq)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Rows that are not known to have been handed on. Lane 0 is im's, 1 the consumer's.
CREATE TABLE intents (
  lane TINYINT UNSIGNED NOT NULL,
  message_id BIGINT UNSIGNED NOT NULL,
  time_ms BIGINT UNSIGNED NOT NULL,
  conversation VARBINARY(160) NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (lane, message_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- First answers, forgotten by age.
CREATE TABLE answers (
  sender VARBINARY(64) NOT NULL,
  client_message_id VARBINARY(1024) NOT NULL,
  conversation VARBINARY(160) NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  message_id BIGINT UNSIGNED NOT NULL,
  time_ms BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (sender, client_message_id),
  KEY by_age (time_ms)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Whom one call of a fan-out wrote; removed when the fan-out stands above the row.
CREATE TABLE fan_outs (
  conversation VARBINARY(160) NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  first_user VARBINARY(64) NOT NULL,
  written MEDIUMBLOB NOT NULL,
  PRIMARY KEY (conversation, seq, first_user)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Up to which row each conversation's fan-out is done.
CREATE TABLE progress (
  conversation VARBINARY(160) NOT NULL,
  fanned_out_to BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (conversation)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Up to where each device has received its user's inbox.
CREATE TABLE positions (
  user VARBINARY(64) NOT NULL,
  device VARBINARY(64) NOT NULL,
  inbox_seq BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (user, device)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- When each user's last device went away.
CREATE TABLE last_seen (
  user VARBINARY(64) NOT NULL,
  time_ms BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (user)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE chat_groups (
  id VARBINARY(64) NOT NULL,
  name MEDIUMTEXT NOT NULL,
  avatar MEDIUMTEXT NOT NULL,
  announcement MEDIUMTEXT NOT NULL,
  join_rule TINYINT UNSIGNED NOT NULL COMMENT '0 closed, 1 approval, 2 open',
  history_rule TINYINT UNSIGNED NOT NULL COMMENT '0 from the join, 1 all',
  all_muted TINYINT UNSIGNED NOT NULL,
  owner VARBINARY(64) NOT NULL,
  created_ms BIGINT UNSIGNED NOT NULL,
  dismissed TINYINT UNSIGNED NOT NULL,
  member_count BIGINT UNSIGNED NOT NULL,
  super_from BIGINT UNSIGNED NOT NULL,
  version BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE members (
  group_id VARBINARY(64) NOT NULL,
  user VARBINARY(64) NOT NULL,
  role TINYINT UNSIGNED NOT NULL COMMENT '0 member, 1 admin, 2 owner',
  joined BIGINT UNSIGNED NOT NULL,
  joined_ms BIGINT UNSIGNED NOT NULL,
  left_at BIGINT UNSIGNED NOT NULL COMMENT '0: is a member',
  muted_until_ms BIGINT UNSIGNED NOT NULL,
  earlier BLOB NOT NULL COMMENT 'when the user was a member before',
  PRIMARY KEY (group_id, user)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What a conversation is for each of its users, apart from its rows.
CREATE TABLE states (
  user VARBINARY(64) NOT NULL,
  conversation VARBINARY(160) NOT NULL,
  joined BIGINT UNSIGNED NOT NULL DEFAULT 0,
  left_at BIGINT UNSIGNED NOT NULL DEFAULT 0,
  read_to BIGINT UNSIGNED NOT NULL DEFAULT 0,
  last_sent BIGINT UNSIGNED NOT NULL DEFAULT 0,
  mentioned BIGINT UNSIGNED NOT NULL DEFAULT 0,
  pinned TINYINT UNSIGNED NOT NULL DEFAULT 0,
  muted TINYINT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (user, conversation)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The super groups that each user is in.
CREATE TABLE super_groups (
  user VARBINARY(64) NOT NULL,
  conversation VARBINARY(160) NOT NULL,
  PRIMARY KEY (user, conversation)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Changes of a user's conversations that no inbox row tells, by the version that each made.
CREATE TABLE changes (
  user VARBINARY(64) NOT NULL,
  version BIGINT UNSIGNED NOT NULL,
  ordinal BIGINT UNSIGNED NOT NULL,
  conversation VARBINARY(160) NOT NULL,
  PRIMARY KEY (user, version)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Those who ask to be let into a group.
CREATE TABLE join_requests (
  group_id VARBINARY(64) NOT NULL,
  user VARBINARY(64) NOT NULL,
  text MEDIUMTEXT NOT NULL,
  time_ms BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (group_id, user)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Whom users have blocked.
CREATE TABLE blocks (
  user VARBINARY(64) NOT NULL,
  other VARBINARY(64) NOT NULL,
  PRIMARY KEY (user, other)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
