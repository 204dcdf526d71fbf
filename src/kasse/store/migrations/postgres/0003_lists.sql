-- Lists of orders by state go along one index, each state in the order of the list.
DROP INDEX orders_by_status;
DROP INDEX orders_by_payment;
CREATE INDEX orders_by_state ON orders (account_id, status, payment_status, created_at, id);
