"""Product feeds as shops have them: Google's Merchant XML, tables in the columns of Merchant Center
or of Meta's catalogues, and Shopify's products.

A feed is read as a stream, in bounded memory; what is wrong with a row is told by its line.
"""
